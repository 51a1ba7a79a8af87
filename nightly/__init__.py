"""The nightly job: runs the project's commands one after the other, and puts a good model live."""
