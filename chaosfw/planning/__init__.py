"""
Everything that is decided before anything is touched: guards, digests, price. Pure: facts in, refusals out.
"""
