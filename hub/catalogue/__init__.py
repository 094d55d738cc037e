"""Service items, their materials and waivers, and the planner: what must still be brought?"""
