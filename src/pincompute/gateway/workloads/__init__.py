"""The API of projects and workloads: reads, lists, streams and writes."""
