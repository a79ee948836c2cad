"""What is recorded, and what can be asked of it: events, names and types, queries, context.

Belongs here: what an event is and means, without any store. It knows codecs and errors, nothing above.
"""
