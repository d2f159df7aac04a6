"""Work: contacts and companies, service requests, their numbers, history and notices."""
