"""Tests by what is real in them. A test's name is a sentence that can be true or false.

unit/         nothing is: rules and readers alone, in seconds
integration/  the database and the broker; stores/, ovens/ and api/ for those rooms
migrations/   a database that is brought up from nothing, and from before
e2e/          all processes, small real models, a browser
chaos/        the same while things are killed, stopped and emptied
fuzz/         made-up and damaged files against the readers (`make fuzz`)
tiny/         makes a small random checkpoint for every task

The modules beside them make what tests share: files to send, servers that stand in for others, processes to wait for.
"""
