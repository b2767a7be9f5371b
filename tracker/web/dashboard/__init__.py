"""The pages that people look at: tasks, one task, the system. Everything is a link, and a page's whole state is in its URL."""

from tracker.web.dashboard import assets, correcting, detail, listing, login, system

PAGES = (listing.router, detail.router, correcting.router, system.router, login.router, assets.router)
