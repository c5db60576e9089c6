"""One file a family of containers: does a file end where its container says?"""
