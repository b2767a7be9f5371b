"""The pages that people look at: tasks, one task, the system. Everything is a link, and a page's whole state is in its URL."""

from tracker.web.dashboard import assets, listing

PAGES = (listing.router, assets.router)
