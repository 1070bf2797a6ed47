"""Results as pages draw them: `drawing` for all tasks, and beside it what takes more than a few lines to draw.

What each comes to is written down by the template of its name under templates/results/.
"""
