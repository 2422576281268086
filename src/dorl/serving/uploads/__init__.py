"""Files that are sent to the page: forms, archives, and which of them are images."""
