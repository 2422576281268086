"""The web page and the JSON API of `dorl serve`; nothing here knows training, or torch.

A request's images are spooled into the page's folder (`uploads`), entered into its database (`store`), and looked at by
one thread (`worker`) with what the run gives (`recogniser`); `app` answers requests from the database alone.
"""
