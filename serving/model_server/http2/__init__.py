"""HTTP/2 as gRPC's clients speak it, over asyncio: RFC 9113's server side, without push and priorities."""
