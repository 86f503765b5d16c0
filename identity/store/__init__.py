"""Where things are kept: a warehouse for analytics, a ledger for transactions."""
