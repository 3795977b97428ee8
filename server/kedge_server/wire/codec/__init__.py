"""Arrays as the two protocols carry them, for both ends of the wire. numpy and pb only: a client stays small."""
