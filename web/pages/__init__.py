"""Pages for people: forms made from the catalogue, results drawn by task, uploads with a preview.

Everything works without JavaScript; the modules under static/js only make it pleasant.
"""

from web.pages import batches, documents, home, jobs, pipelines, uploads, workers
from web.pages.site import blueprint

__all__ = ["batches", "blueprint", "documents", "home", "jobs", "pipelines", "uploads", "workers"]
