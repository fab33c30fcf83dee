"""Reports: each one HTML page that needs nothing but itself; and what results show of themselves.

Import the page that is wanted: what a finding shows in a notebook (`notebook`) needs no torch.
"""
