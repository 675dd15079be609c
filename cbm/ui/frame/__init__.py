"""What every page shares.

state       one typed dataclass for each page: query parameters, session slots, widget keys, links
slots       values in a visitor's session · links: query parameters as typed values, and what links carry
chosen      the chosen model, its study and the visitor's edits · edits: the visitor's recipes · selections: what is selected in a model
messages    errors, refusals of callbacks, notes · layout: titles, headline figures, page numbers, the card where there is nothing yet
formats     numbers, times, sizes and names as text
cache       one cache for what is slow to make · resources: models, images, backbones, jobs and their workers through that cache
shell       the pages, the one way into them, the sidebar
"""
