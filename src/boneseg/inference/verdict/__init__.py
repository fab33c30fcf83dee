"""The verdict on a mask: body part, projection, how good the mask is likely to be, and why."""
