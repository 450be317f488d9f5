"""What `benches/run` is made of: processes, servers, load, clients and tables."""
