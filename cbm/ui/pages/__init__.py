"""One room per page. No page imports another."""
