"""What the topics say, as tables that answer at once: one consumer writes them, every page and request reads them."""
