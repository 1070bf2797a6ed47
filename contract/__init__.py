"""What the web side and the worker side must agree on; a leaf that imports none of them.

Settings, words (statuses, error codes), the task catalogue, pipeline definitions, and the names of
queues, messages and keys. No SQLAlchemy, Flask, Celery or torch: a thin client can import this.
"""
