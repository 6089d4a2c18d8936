"""What an operator watches Lookout with. No part of the service: it makes files, from the service's list of metrics."""
