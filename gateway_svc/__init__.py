"""Channel gateway: external calls made asynchronous, callbacks made durable facts."""
