"""The processes of one machine: started on a leash, watched, restarted with back-off, stopped in order.

One thread, one loop (`Supervisor.step`): it reads what the children print, reaps the dead and starts what is due.
Nothing here imports a web framework, a database driver or torch; the children do.
"""
