"""The server on the loopback: limits, images from requests, batches of requests; what it answers, and its page."""
