"""The rules of the venue once more, in plain Python: a reference to hold the contracts against.

Written from the design, not from the contracts, and importing nothing of the rest of the package:
integers where the venue has integers, exact fractions where it cross-multiplies.

    ledger      accounts, positions, the two primitives, the identities
    adl         who is deleveraged, in which order, how much, at which quote
    waterfall   margin, liquidation into a ladder with insurance, the shares of a wind-up
    venue       everything but ADL rounds, integer for integer: every refusal, event and balance
"""
