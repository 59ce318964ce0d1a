"""Who is who: certificates, signatures, and what is let in."""
