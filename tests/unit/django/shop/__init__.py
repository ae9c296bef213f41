"""An application whose data the recorder watches."""
