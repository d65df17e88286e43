"""Serving: what each request of an inference server cost, exact under concurrency and across a host's processes."""
