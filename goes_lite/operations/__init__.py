"""What is done with a whole store: look into it, check it, keep it safe, carry it away.

Belongs here: functions of a `Backend`, one concept in a file, on the contract alone, so that all of it works on every
backend. The command line and other faces show what they return.
"""
