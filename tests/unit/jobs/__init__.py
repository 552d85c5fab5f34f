"""chatd.jobs"""
