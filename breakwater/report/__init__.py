"""What is left of a run to look at: recording, event tables, plots, pages.

`record` listens while the driver runs; `events` makes tables of what it heard; `plots` draws; `page`
and `compare` write one HTML file each that opens without a network. No figure is made in a picture
or on a page: each shows what stands in result.json or compare.json. Only the interface is light:
matplotlib and polars are imported by the modules that need them.
"""
