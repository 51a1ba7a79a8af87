"""The server: a SavedModel behind TensorFlow Serving's REST API, answers with titles, and a page."""
