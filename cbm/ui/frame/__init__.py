"""What every page shares.

state       one typed dataclass for each page: query parameters, session slots, widget keys, links
slots       values in a visitor's session · parameters: query parameters as typed values
chosen      the chosen model, its study and the visitor's edits · edits: the visitor's recipes · selections: what is selected in a model
messages    errors, refusals of callbacks, notes · empty: the card where there is nothing yet · pager: page numbers as a slice
formats     numbers, times, sizes and names as text · cards: headline figures, titles
cache       one cache for what is slow to make · resources: models, images, backbones, jobs through that cache
navigation  the pages and the one way into them · shell: the sidebar
"""
