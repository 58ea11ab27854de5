"""
From a journal and its samples to a record, and from a record to a verdict. Pure: no clock, no files but the samples, no
network; the same answer next year. numpy lives here.
"""
