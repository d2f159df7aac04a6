"""The API for other programs, `/api/v1`: tokens instead of log-ins, nothing done twice, errors as RFC 9457 has them."""
