"""Trust: certificates, signatures, and what is let in."""
