"""batchgen on a real Ray cluster, on this machine and on two hosts in network namespaces."""
