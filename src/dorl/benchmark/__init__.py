"""The benchmark: labs, jobs, cached results and tables; `methods` are what DoRL is compared with."""
