"""The HTTP side: JSON API, forms and pages, uploads. Sends messages by name; never computes."""
