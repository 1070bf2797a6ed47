"""The bakehouse: Celery nodes that claim rows, plan microbatches, bake them and record what came out.

node       the entry: `python -m worker.node oven | upkeep | scheduler`
app        the Celery app and why its settings are what they are
tasks      the Celery tasks: wiring only
oven       one device slot's child process: claim, plan, bake, record
warden     the same slot's main process: heartbeat, lease, deadline, what a dead child leaves behind
upkeep     sweeps; ingest reads files
backends/  the only place that knows torch or transformers
"""
