"""
The way back: ledger, lock, fence, heal, audit. With the ledger and an executor, any process can put everything back.

Called by the engine, the watchdog and ``chaosfw heal`` alike. Nothing here judges whether a run was good.
"""
