# The machine and its fixed address. Reached by Session Manager alone: no SSH, no key pair, no open port.
locals {
  arm = can(regex("^[a-z]+[0-9]+g[a-z]*[.]", var.instance_type))
  ami = var.ami_id != "" ? var.ami_id : data.aws_ssm_parameter.ubuntu[0].insecure_value
}

data "aws_ssm_parameter" "ubuntu" {
  count = var.ami_id == "" ? 1 : 0
  name  = "/aws/service/canonical/ubuntu/server/24.04/stable/current/${local.arm ? "arm64" : "amd64"}/hvm/ebs-gp3/ami-id"
}

# The address registered at the broker: it may change once a week, and changing it kills the token. It lives
# apart from the machine, and Terraform refuses to destroy it.
resource "aws_eip" "bot" {
  domain = "vpc"
  tags   = { Name = var.name }
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_eip_association" "bot" {
  allocation_id = aws_eip.bot.id
  instance_id   = aws_instance.bot.id
}

resource "aws_instance" "bot" {
  ami                    = local.ami
  instance_type          = var.instance_type
  subnet_id              = aws_subnet.bot.id
  vpc_security_group_ids = [aws_security_group.bot.id]
  iam_instance_profile   = aws_iam_instance_profile.bot.name
  ebs_optimized          = true
  user_data = templatefile("${path.module}/user_data.sh", {
    region = var.region
    name   = var.name
    bucket = aws_s3_bucket.archive.bucket
  })
  user_data_replace_on_change = false

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required" # IMDSv2
    http_put_response_hop_limit = 2          # containers stand one hop behind the host
  }

  root_block_device {
    volume_type           = "gp3"
    volume_size           = 20
    encrypted             = true
    delete_on_termination = false # journals outlive the machine
    tags                  = { Name = var.name }
  }

  tags = { Name = var.name }

  lifecycle {
    # A newer image or script must never replace a machine that holds journals: that is a person's decision.
    ignore_changes = [ami, user_data, associate_public_ip_address]
  }
}
