"""The real engine: the same peers as asyncio programs that exchange weights over HTTP, with the real clock."""
