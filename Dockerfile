# One file, two images: EXTRAS=web,postgresql holds no torch; EXTRAS=worker,postgresql computes.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}

# Which parts to install (pyproject.toml, optional-dependencies), and packages that hold checkpoints.
ARG EXTRAS=all
ARG MODELS=""

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PATH=/opt/fournil/bin:$PATH

# A fixed id: the data volume is shared by containers of both images.
RUN groupadd --gid 10001 fournil \
    && useradd --uid 10001 --gid fournil --no-create-home --home-dir /data fournil \
    && install -d -o fournil -g fournil -m 0700 /data \
    && python3 -m venv /opt/fournil

WORKDIR /srv/fournil
COPY pyproject.toml constraints.txt README.md ./
COPY contract contract
COPY models models
COPY web web
COPY worker worker
COPY cli cli
RUN pip install -c constraints.txt ".[${EXTRAS}]" \
    && if [ -n "${MODELS}" ]; then pip install -c constraints.txt --no-deps ${MODELS}; fi \
    && rm -rf contract models web worker cli build
COPY examples examples

ENV FOURNIL_DATA_DIR=/data \
    HF_HOME=/data/hub
USER fournil
VOLUME /data
ENTRYPOINT ["fournil"]
CMD ["--help"]
