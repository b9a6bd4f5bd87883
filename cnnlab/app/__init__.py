"""The server on the loopback: limits, images from requests, batches of requests, and what `cnnlab serve` answers."""
