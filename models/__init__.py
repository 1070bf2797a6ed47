"""Persistence: tables, the one state machine, the stores and file storage.

Stores are functions over an open connection, named by the verb: submit, claim, renew, release, finish,
fail, cancel, expire, reap. They never commit; edges do (a request, a Celery task), through `database.transaction`.
"""
