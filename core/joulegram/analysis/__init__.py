"""What runs say beside each other: rankings, noise, fronts, and what follows in plain words.

Plain documents and arrays in, plain results out; nothing here measures, reads a ledger or formats a page.
"""
