a
_b
__c__
match
case
type
soft = match = case
