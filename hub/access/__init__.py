"""Nothing is looked at unseen: every look and every refusal, as one unbroken chain per person."""
