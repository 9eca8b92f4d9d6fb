# One public subnet, no NAT: nothing may come in, HTTPS may go out. Orders leave from the Elastic IP.
resource "aws_vpc" "bot" {
  cidr_block           = "10.20.0.0/24"
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.bot.id # no rules: whatever forgets its group can talk to nobody
}

resource "aws_internet_gateway" "bot" {
  vpc_id = aws_vpc.bot.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "bot" {
  vpc_id     = aws_vpc.bot.id
  cidr_block = "10.20.0.0/26"
  tags       = { Name = var.name }
}

resource "aws_route_table" "bot" {
  vpc_id = aws_vpc.bot.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.bot.id
  }
  tags = { Name = var.name }
}

resource "aws_route_table_association" "bot" {
  subnet_id      = aws_subnet.bot.id
  route_table_id = aws_route_table.bot.id
}

resource "aws_security_group" "bot" {
  name        = var.name
  description = "Nothing in; HTTPS out, and HTTP for signed Ubuntu packages"
  vpc_id      = aws_vpc.bot.id
  tags        = { Name = var.name }
}

resource "aws_vpc_security_group_egress_rule" "out" {
  for_each          = { https = 443, packages = 80 }
  security_group_id = aws_security_group.bot.id
  description       = each.key
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}
