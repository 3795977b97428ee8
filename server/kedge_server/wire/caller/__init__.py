"""The other end of the wire, which is what `kedge_server.client` is made of: numpy, grpcio and pb only."""
