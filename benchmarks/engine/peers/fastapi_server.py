"""sentence-transformers behind FastAPI: a text a call, no batching, as its users write it. CHECKPOINT, THREADS."""

from __future__ import annotations

import os

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

torch.set_num_threads(int(os.environ["THREADS"]))
model = SentenceTransformer(os.environ["CHECKPOINT"], device="cpu")
app = FastAPI()


class Request(BaseModel):
    input: str


@app.post("/")
def embed(request: Request) -> dict[str, list[float]]:
    vector = model.encode(request.input, normalize_embeddings=True, show_progress_bar=False)
    return {"embedding": vector.tolist()}
